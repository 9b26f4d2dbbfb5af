"""Field numbers of pods and all that is in them. See `numbers` for the notation."""

from __future__ import annotations

from typing import Final

PODS: Final = {
    "core_v1.Pod": "metadata spec status",
    "core_v1.PodTemplate": "metadata template",
    "core_v1.PodTemplateSpec": "metadata spec",
    "core_v1.PodSpec": "volumes containers restartPolicy terminationGracePeriodSeconds:p activeDeadlineSeconds:p"
    " dnsPolicy nodeSelector serviceAccountName serviceAccount nodeName hostNetwork hostPID hostIPC securityContext"
    " imagePullSecrets hostname subdomain affinity schedulerName initContainers automountServiceAccountToken:p"
    " tolerations hostAliases priorityClassName priority:p dnsConfig shareProcessNamespace:p readinessGates"
    " runtimeClassName:p enableServiceLinks:p preemptionPolicy:p overhead topologySpreadConstraints ephemeralContainers"
    " setHostnameAsFQDN:p os hostUsers:p schedulingGates resourceClaims resources hostnameOverride:p",
    "core_v1.PodOS": "name",
    "core_v1.PodSchedulingGate": "name",
    "core_v1.PodReadinessGate": "conditionType",
    "core_v1.PodResourceClaim": "name - resourceClaimName:p resourceClaimTemplateName:p",
    "core_v1.HostAlias": "ip hostnames",
    "core_v1.PodDNSConfig": "nameservers searches options",
    "core_v1.PodDNSConfigOption": "name value:p",
    "core_v1.LocalObjectReference": "name",
    "core_v1.Toleration": "key operator value effect tolerationSeconds:p",
    "core_v1.TopologySpreadConstraint": "maxSkew topologyKey whenUnsatisfiable labelSelector minDomains:p"
    " nodeAffinityPolicy:p nodeTaintsPolicy:p matchLabelKeys",
    "core_v1.Affinity": "nodeAffinity podAffinity podAntiAffinity",
    "core_v1.NodeAffinity": "requiredDuringSchedulingIgnoredDuringExecution"
    " preferredDuringSchedulingIgnoredDuringExecution",
    "core_v1.NodeSelector": "nodeSelectorTerms",
    "core_v1.NodeSelectorTerm": "matchExpressions matchFields",
    "core_v1.NodeSelectorRequirement": "key operator values",
    "core_v1.PreferredSchedulingTerm": "weight preference",
    "core_v1.PodAffinity": "requiredDuringSchedulingIgnoredDuringExecution"
    " preferredDuringSchedulingIgnoredDuringExecution",
    "core_v1.PodAntiAffinity": "requiredDuringSchedulingIgnoredDuringExecution"
    " preferredDuringSchedulingIgnoredDuringExecution",
    "core_v1.PodAffinityTerm": "labelSelector namespaces topologyKey namespaceSelector matchLabelKeys"
    " mismatchLabelKeys",
    "core_v1.WeightedPodAffinityTerm": "weight podAffinityTerm",
    "core_v1.PodSecurityContext": "seLinuxOptions runAsUser:p runAsNonRoot:p supplementalGroups fsGroup:p runAsGroup:p"
    " sysctls windowsOptions fsGroupChangePolicy:p seccompProfile appArmorProfile supplementalGroupsPolicy:p"
    " seLinuxChangePolicy:p",
    "core_v1.SELinuxOptions": "user role type level",
    "core_v1.Sysctl": "name value",
    "core_v1.SeccompProfile": "type localhostProfile:p",
    "core_v1.AppArmorProfile": "type localhostProfile:p",
    "core_v1.WindowsSecurityContextOptions": "gmsaCredentialSpecName:p gmsaCredentialSpec:p runAsUserName:p"
    " hostProcess:p",
    "core_v1.SecurityContext": "capabilities privileged:p seLinuxOptions runAsUser:p runAsNonRoot:p"
    " readOnlyRootFilesystem:p allowPrivilegeEscalation:p runAsGroup:p procMount:p windowsOptions seccompProfile"
    " appArmorProfile",
    "core_v1.Capabilities": "add drop",
}

CONTAINERS: Final = {
    "core_v1.Container": "name image command args workingDir ports env resources volumeMounts livenessProbe"
    " readinessProbe lifecycle terminationMessagePath imagePullPolicy securityContext stdin stdinOnce tty envFrom"
    " terminationMessagePolicy volumeDevices startupProbe resizePolicy restartPolicy:p restartPolicyRules",
    "core_v1.EphemeralContainer": "*EphemeralContainerCommon targetContainerName",
    "core_v1.EphemeralContainerCommon": "name image command args workingDir ports env resources volumeMounts"
    " livenessProbe readinessProbe lifecycle terminationMessagePath imagePullPolicy securityContext stdin stdinOnce tty"
    " envFrom terminationMessagePolicy volumeDevices startupProbe resizePolicy restartPolicy:p restartPolicyRules",
    "core_v1.ContainerResizePolicy": "resourceName restartPolicy",
    "core_v1.ContainerPort": "name hostPort containerPort protocol hostIP",
    "core_v1.EnvVar": "name value valueFrom",
    "core_v1.EnvVarSource": "fieldRef resourceFieldRef configMapKeyRef secretKeyRef fileKeyRef",
    "core_v1.ObjectFieldSelector": "apiVersion fieldPath",
    "core_v1.ResourceFieldSelector": "containerName resource divisor",
    "core_v1.ConfigMapKeySelector": "*LocalObjectReference key optional:p",
    "core_v1.SecretKeySelector": "*LocalObjectReference key optional:p",
    "core_v1.EnvFromSource": "prefix configMapRef secretRef",
    "core_v1.ConfigMapEnvSource": "*LocalObjectReference optional:p",
    "core_v1.SecretEnvSource": "*LocalObjectReference optional:p",
    "core_v1.ResourceRequirements": "limits requests claims",
    "core_v1.ResourceClaim": "name request",
    "core_v1.VolumeMount": "name readOnly mountPath subPath mountPropagation:p subPathExpr recursiveReadOnly:p",
    "core_v1.VolumeDevice": "name devicePath",
    "core_v1.Probe": "*ProbeHandler initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold"
    " terminationGracePeriodSeconds:p",
    "core_v1.ProbeHandler": "exec httpGet tcpSocket grpc",
    "core_v1.Lifecycle": "postStart preStop stopSignal:p",
    "core_v1.LifecycleHandler": "exec httpGet tcpSocket sleep",
    "core_v1.SleepAction": "seconds",
    "core_v1.ExecAction": "command",
    "core_v1.HTTPGetAction": "path port host scheme httpHeaders",
    "core_v1.HTTPHeader": "name value",
    "core_v1.TCPSocketAction": "port host",
    "core_v1.GRPCAction": "port service:p",
}

VOLUMES: Final = {
    "core_v1.Volume": "name *VolumeSource",
    "core_v1.VolumeSource": "hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi"
    " glusterfs persistentVolumeClaim rbd flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap"
    " vsphereVolume quobyte azureDisk photonPersistentDisk portworxVolume scaleIO projected storageos csi ephemeral"
    " image",
    "core_v1.HostPathVolumeSource": "path type:p",
    "core_v1.EmptyDirVolumeSource": "medium sizeLimit",
    "core_v1.SecretVolumeSource": "secretName items defaultMode:p optional:p",
    "core_v1.ConfigMapVolumeSource": "*LocalObjectReference items defaultMode:p optional:p",
    "core_v1.KeyToPath": "key path mode:p",
    "core_v1.NFSVolumeSource": "server path readOnly",
    "core_v1.PersistentVolumeClaimVolumeSource": "claimName readOnly",
    "core_v1.DownwardAPIVolumeSource": "items defaultMode:p",
    "core_v1.DownwardAPIVolumeFile": "path fieldRef resourceFieldRef mode:p",
    "core_v1.ProjectedVolumeSource": "sources defaultMode:p",
    "core_v1.VolumeProjection": "secret downwardAPI configMap serviceAccountToken clusterTrustBundle podCertificate",
    "core_v1.SecretProjection": "*LocalObjectReference items - optional:p",
    "core_v1.ConfigMapProjection": "*LocalObjectReference items - optional:p",
    "core_v1.DownwardAPIProjection": "items",
    "core_v1.ServiceAccountTokenProjection": "audience expirationSeconds:p path",
    "core_v1.CSIVolumeSource": "driver readOnly:p fsType:p volumeAttributes nodePublishSecretRef",
    "core_v1.EphemeralVolumeSource": "volumeClaimTemplate",
    "core_v1.ImageVolumeSource": "reference pullPolicy",
    "core_v1.PersistentVolumeClaimTemplate": "metadata spec",
}
